package logtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ProcessHeader returns the first line of the log of a process that began so many
// milliseconds after the others' zero. by is the value of its key by, or "".
func ProcessHeader(run string, pid, ms int, by string) string {
	if by != "" {
		by = `,"by":` + by
	}
	t0 := time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
	return fmt.Sprintf(`{"traigo":2,"t0":%q,"run":%q,"pid":%d,"go":"go1.26","program":"example.com/chat"%s}`+"\n", t0.Format(time.RFC3339Nano), run, pid, by)
}

// Killed has the logs of a tree of three processes, by the names of their files: root has
// started mid, and mid has started leaf. Leaf is killed after 30 ms. For that mid fails, and
// for that root.
func Killed() map[string]string {
	return map[string]string{
		"root-71.jsonl": ProcessHeader("aaaaaaaa", 71, 0, "") + `{"t":1000000,"k":"scope","id":1,"n":"root"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"mid","f":"b"}
{"t":2000000,"k":"start","s":1,"id":1}
{"t":3000000,"k":"spawn","s":1,"id":2,"n":"work","f":"bw"}
{"t":3000000,"k":"start","s":1,"id":2}
{"t":40000000,"k":"end","s":1,"id":1,"st":"failed","err":"actor root/mid: scope \"mid\": task \"leaf\": actor root/mid/leaf is gone: signal: killed"}
{"t":41000000,"k":"cancel","id":1,"why":"task failed","by":1,"err":"actor root/mid: scope \"mid\": task \"leaf\": actor root/mid/leaf is gone: signal: killed"}
{"t":42000000,"k":"end","s":1,"id":2,"st":"canceled","err":"context canceled"}
{"t":43000000,"k":"close","id":1,"err":"scope \"root\": task \"mid\": actor root/mid: scope \"mid\": task \"leaf\": actor root/mid/leaf is gone: signal: killed"}
{"t":44000000,"k":"bye"}
`,
		"root.mid-72.jsonl": ProcessHeader("bbbbbbbb", 72, 10, `{"run":"aaaaaaaa","pid":71,"scope":1,"task":1}`) + `{"t":1000000,"k":"scope","id":1,"n":"mid"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"leaf","f":"b"}
{"t":2000000,"k":"start","s":1,"id":1}
{"t":20000000,"k":"end","s":1,"id":1,"st":"failed","err":"actor root/mid/leaf is gone: signal: killed"}
{"t":21000000,"k":"cancel","id":1,"why":"task failed","by":1,"err":"actor root/mid/leaf is gone: signal: killed"}
{"t":22000000,"k":"close","id":1,"err":"scope \"mid\": task \"leaf\": actor root/mid/leaf is gone: signal: killed"}
{"t":23000000,"k":"bye"}
`,
		"root.mid.leaf-73.jsonl": ProcessHeader("cccccccc", 73, 15, `{"run":"bbbbbbbb","pid":72,"scope":1,"task":1}`) + `{"t":1000000,"k":"scope","id":1,"n":"leaf"}
{"t":2000000,"k":"spawn","s":1,"id":1,"n":"compute","f":"bw"}
{"t":2000000,"k":"start","s":1,"id":1}
{"t":3000000,"k":"scope","id":2,"in":1,"by":1,"n":"square"}
`,
	}
}

// Dir writes files to a new directory, and returns it.
func Dir(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}
