package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/flinch-run/flinch/runner/ready"
)

func task(name string, needs ...string) Rule {
	return Rule{Name: name, Needs: needs, AtStart: true}
}

func service(name string, needs ...string) Rule {
	return Rule{Name: name, Kind: Service, Busy: Replace, Needs: needs, AtStart: true, Ready: ready.Spec{AnyPort: true, Timeout: 30 * time.Second}}
}

const ms = time.Millisecond

func TestOneSaveRunsBuildTestServerInOrderOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, map[string]script{
			"build": {lasts: 100 * ms}, "test": {lasts: 50 * ms}, "app": {ready: 20 * ms, stop: 10 * ms},
		}, task("build"), task("test", "build"), service("app", "test"))
		b.until(1 * time.Second)
		b.wantLog("0s start build start []", "100ms end build 0", "100ms start test start []", "150ms end test 0",
			"150ms start app start []")
		b.wantState("app", Ready)
		b.save("a.go", "build", "test", "app")
		b.until(2 * time.Second)
		b.wantLog("1s start build change [a.go]", "1.1s end build 0", "1.1s start test change [a.go]", "1.15s end test 0",
			"1.15s stop app", "1.16s end app 143", "1.16s start app change [a.go]")
		b.end()
	})
}
