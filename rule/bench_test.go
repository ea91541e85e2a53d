package rule

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// manyRules are fifty rules as a large repository has them.
func manyRules(tb testing.TB) []*Rule {
	tb.Helper()
	var rules []*Rule
	for i := range 10 {
		for _, files := range [][]string{
			{fmt.Sprintf("services/s%d/**/*.go", i), fmt.Sprintf("services/s%d/go.mod", i), "!**/*_test.go"},
			{fmt.Sprintf("web/app%d/**/*.{ts,tsx,css}", i), "!**/*.d.ts"},
			{fmt.Sprintf("proto/v%d/*.proto", i), "buf.yaml"},
			{fmt.Sprintf("**/testdata/%d/**", i), fmt.Sprintf("[a-c]*/x%d/*.txt", i)},
			{fmt.Sprintf("docs/**/[a-m]*%d.md", i), "**/README.md"},
		} {
			r, err := New(Options{Files: Patterns(files...), Ignore: Patterns("dist/", "*.log")})
			if err != nil {
				tb.Fatal(err)
			}
			rules = append(rules, r)
		}
	}
	return rules
}

// manyPaths are n paths of which about a fifth are wanted.
func manyPaths(n int) []string {
	shapes := []string{"services/s%d/internal/store/file%d.go", "web/app%d/src/components/c%d.tsx", "proto/v%d/m%d.proto",
		"third_party/lib%d/src/a/b/c/d/file%d.cc", "web/app%d/public/img/%d.png", "build/out%d/obj/%d.o", "docs/ch%d/page%d.rst",
		"services/s%d/internal/store/file%d_test.go", "web/lib%d/x%d.js", "assets/%d/%d.svg"}
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf(shapes[i%len(shapes)], i%13, i)
	}
	return paths
}

// TestManyRulesInTime matches 50 rules with 50,000 paths; the limit leaves
// room for the race detector and a busy machine.
func TestManyRulesInTime(t *testing.T) {
	set, paths := NewSet(SetOptions{Rules: manyRules(t)}), manyPaths(50_000)
	start, wanted := time.Now(), 0
	var dst []int
	for _, path := range paths {
		if dst = set.Match(dst[:0], path, false); len(dst) > 0 {
			wanted++
		}
	}
	took := time.Since(start)
	t.Logf("%d rules, %d paths, %d wanted: %v", 50, len(paths), wanted, took)
	if wanted == 0 || took > time.Second {
		t.Errorf("%d wanted in %v", wanted, took)
	}
}

// BenchmarkSet is one pass of 50,000 paths over 50 rules.
func BenchmarkSet(b *testing.B) {
	set, paths := NewSet(SetOptions{Rules: manyRules(b)}), manyPaths(50_000)
	dst := make([]int, 0, 50)
	b.ReportAllocs()
	for b.Loop() {
		for _, path := range paths {
			dst = set.Match(dst[:0], path, false)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(paths)), "ns/path")
}

// BenchmarkUnwanted is one path that none of 50 rules wants.
func BenchmarkUnwanted(b *testing.B) {
	for _, path := range []string{"third_party/lib3/src/a/b/c/d/file77.cc", "services/s3/internal/x.txt", "docs/ch1/page.md", "web/app3/x.d.ts"} {
		b.Run(filepath.Base(path), func(b *testing.B) {
			set := NewSet(SetOptions{Rules: manyRules(b)})
			dst := make([]int, 0, 50)
			b.ReportAllocs()
			for b.Loop() {
				dst = set.Match(dst[:0], path, false)
			}
			if len(dst) != 0 {
				b.Errorf("wanted by %v", dst)
			}
		})
	}
}

// BenchmarkPrune asks about a folder that none of the rules reaches, so that
// each has to be asked: those of manyRules with a folder to begin with.
func BenchmarkPrune(b *testing.B) {
	var rules []*Rule
	for _, r := range manyRules(b) {
		if r.Prune("elsewhere") {
			rules = append(rules, r)
		}
	}
	for _, dir := range []string{"third_party/lib3/src/a/b", "services/x3/internal", "web"} {
		b.Run(dir, func(b *testing.B) {
			set := NewSet(SetOptions{Rules: rules})
			b.ReportAllocs()
			for b.Loop() {
				set.Prune(dir)
			}
			b.ReportMetric(float64(len(rules)), "rules")
		})
	}
}

// BenchmarkExplain explains one path to 50 rules, with 200 ignore lines.
func BenchmarkExplain(b *testing.B) {
	ig := ignoreOf(b, IgnoreOptions{Gitignore: true, Defaults: true}, map[string]string{".gitignore": manyLines(200)})
	set := NewSet(SetOptions{Rules: manyRules(b), Ignore: ig})
	b.ReportAllocs()
	for b.Loop() {
		set.Explain("services/s3/internal/store/file.go", false)
	}
}

// BenchmarkIgnore asks about a file four folders deep, with 200 lines in the
// root's .gitignore and the default ignores.
func BenchmarkIgnore(b *testing.B) {
	ig := ignoreOf(b, IgnoreOptions{Gitignore: true, Defaults: true}, map[string]string{".gitignore": manyLines(200)})
	b.ReportAllocs()
	for b.Loop() {
		ig.Match("src/server/store/disk/file.go", false)
	}
}

// BenchmarkIgnoreCrawl asks about each of 40,000 folders for the first time.
func BenchmarkIgnoreCrawl(b *testing.B) {
	ig := ignoreOf(b, IgnoreOptions{Gitignore: true, Defaults: true}, map[string]string{".gitignore": manyLines(20)})
	var dirs []string
	for i := range 40_000 {
		dirs = append(dirs, fmt.Sprintf("d%d/e%d/f%d", i/1000, i/10, i))
	}
	b.ReportAllocs()
	for b.Loop() {
		ig.Reload(".")
		for _, dir := range dirs {
			ig.Match(dir+"/x", false)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(dirs)), "ns/folder")
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, [...]string{"name%d\n", "*.ext%d\n", "/top%d/\n", "lib%d/**/*.o\n", "b[aeiou]t%d-*\n"}[i%5], i)
	}
	return b.String()
}

// ignoreOf makes an Ignore over a new root that holds files.
func ignoreOf(tb testing.TB, opt IgnoreOptions, files map[string]string) *Ignore {
	tb.Helper()
	root := tb.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
			tb.Fatal(err)
		}
	}
	if opt.Getenv == nil {
		opt.Getenv = func(string) string { return "" }
	}
	ig, err := NewIgnore(root, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return ig
}
