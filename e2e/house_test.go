package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/flinch-run/flinch/"

// arrows says which rooms of the house may import which; cmd may import all. A
// room that is missing here may import none.
var arrows = map[string][]string{
	"config/convert": {"config"},
	"watch":          {"watch/inotify"},
	"runner":         {"runner/command", "runner/output", "runner/process", "runner/ready", "runner/socket"},
}

// onlyCmd are packages that belong to the command line and to nothing below it.
var onlyCmd = []string{"github.com/charmbracelet/log", "github.com/spf13/cobra"}

// The arrows of the house run one way (see ARCHITECTURE.md).
func TestArrows(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(room, "cmd/") {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(onlyCmd, imported) {
				t.Errorf("%s imports %s, which is for cmd alone", room, imported)
			}
			to, ours := strings.CutPrefix(imported, module)
			if ours && !slices.Contains(arrows[room], to) {
				t.Errorf("%s imports %s: no such arrow in the house", room, to)
			}
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}
