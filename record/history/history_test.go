package history_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/traigo/traigo/record/internal/logtest"
)

func TestCulpritIsTheFirstCause(t *testing.T) {
	const tree = `{"t":1,"k":"scope","id":1,"n":"root"}
{"t":2,"k":"spawn","s":1,"id":1,"n":"a"}
{"t":3,"k":"scope","id":2,"in":1,"by":1,"n":"mid"}
{"t":4,"k":"scope","id":3,"in":2,"n":"leaf"}
`
	for _, row := range []struct{ says, log, task, scope string }{
		{"nobody, it goes on", ``, "", ""},
		{"a task", `{"t":9,"k":"cancel","id":3,"why":"parent canceled"}
{"t":8,"k":"cancel","id":2,"why":"parent canceled"}
{"t":7,"k":"cancel","id":1,"why":"task failed","by":1,"err":"boom"}`, "a", "root"},
		{"a timeout", `{"t":9,"k":"cancel","id":3,"why":"parent canceled"}
{"t":8,"k":"cancel","id":2,"why":"timeout"}`, "", "mid"},
		{"a context from outside", `{"t":9,"k":"cancel","id":1,"why":"parent canceled"}
{"t":10,"k":"cancel","id":2,"why":"parent canceled"}`, "", "root"},
		{"the task that opened it, canceled alone", `{"t":9,"k":"cancel","id":2,"why":"parent canceled"}
{"t":10,"k":"cancel","id":3,"why":"parent canceled"}
{"t":11,"k":"close","id":2}
{"t":12,"k":"end","s":1,"id":1,"st":"canceled"}
{"t":99,"k":"cancel","id":1,"why":"completed"}`, "a", "root"},
		{"the task, whose cancellation names the scope", `{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"scope \"root\" canceled: requested: task \"root/a\""}
{"t":11,"k":"close","id":2}
{"t":12,"k":"end","s":1,"id":1,"st":"canceled"}
{"t":99,"k":"cancel","id":1,"why":"completed"}`, "a", "root"},
		{"a context in between", `{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"context deadline exceeded"}
{"t":11,"k":"close","id":2}
{"t":12,"k":"end","s":1,"id":1,"st":"ok"}
{"t":99,"k":"cancel","id":1,"why":"completed"}`, "", "mid"},
		{"a context in between, and the parent soon after", `{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"context deadline exceeded"}
{"t":10,"k":"cancel","id":1,"why":"requested"}
{"t":11,"k":"close","id":2}
{"t":12,"k":"end","s":1,"id":1,"st":"ok"}`, "", "mid"},
		{"a shield, whose time is over after the end of the parent", `{"t":8,"k":"cancel","id":1,"why":"requested"}
{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"\"root/a\" timed out after 60ms"}`, "", "mid"},
		{"a context from outside, as the parent", `{"t":8,"k":"cancel","id":1,"why":"parent canceled","err":"context deadline exceeded"}
{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"context deadline exceeded"}`, "", "root"},
		{"a context in between, and the task with its scope soon after", `{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"context deadline exceeded"}
{"t":10,"k":"cancel","id":1,"why":"requested"}
{"t":9,"k":"close","id":2}
{"t":12,"k":"end","s":1,"id":1,"st":"canceled"}`, "", "mid"},
		{"a request, of which the parent knows nothing", `{"t":8,"k":"cancel","id":1,"why":"completed"}
{"t":9,"k":"cancel","id":2,"why":"requested"}`, "", "mid"},
		{"the parent, which tells it a moment later", `{"t":9,"k":"cancel","id":2,"why":"parent canceled","err":"scope \"root\" canceled: requested"}
{"t":10,"k":"cancel","id":1,"why":"requested"}
{"t":11,"k":"close","id":2}`, "", "root"},
	} {
		h := logtest.Read(t, logtest.Header+tree+row.log+"\n")
		of := h.Scopes[1] // the scope mid
		if strings.Contains(row.log, `"id":3,`) {
			of = h.Scopes[2]
		}
		task, scope := of.Culprit()
		gotTask, gotScope := "", ""
		if task != nil {
			gotTask = task.Name
		}
		if scope != nil {
			gotScope = scope.Name
		}
		assert.Equal(t, [2]string{row.task, row.scope}, [2]string{gotTask, gotScope}, row.says)
	}
}
