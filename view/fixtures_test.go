package view_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Logs that no healthy program leaves behind.

// lossy has a gap: what it says of the time after it is a census.
func lossy() []byte {
	return logOf(
		`{"t":1000000,"k":"scope","id":3,"n":"server"}`,
		`{"t":2000000,"k":"spawn","s":3,"id":1,"n":"gone","f":"bw"}`,
		`{"t":2100000,"k":"start","s":3,"id":1}`,
		`{"t":2000000,"k":"spawn","s":3,"id":2,"n":"here","f":"bw"}`,
		`{"t":2200000,"k":"start","s":3,"id":2}`,
		`{"t":50000000,"k":"lost","n":812,"why":"the writer was too slow"}`,
		`{"t":50001000,"k":"live","n":2}`,
		`{"t":1000000,"k":"scope","id":3,"n":"server","st":"open"}`,
		`{"t":2000000,"k":"spawn","s":3,"id":2,"n":"here","f":"bw","st":"running"}`,
		`{"t":80000000,"k":"end","s":3,"id":2,"st":"ok"}`,
		`{"t":81000000,"k":"cancel","id":3,"why":"completed"}`,
		`{"t":81000100,"k":"close","id":3}`,
		`{"t":81000200,"k":"bye"}`,
	)
}

// given has a task that is given up, with its stack, and one that panics.
func given() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"job"}`,
		`{"t":1000000,"k":"spawn","s":1,"id":1,"n":"deaf","f":"bw"}`,
		`{"t":1000100,"k":"start","s":1,"id":1}`,
		`{"t":1000000,"k":"spawn","s":1,"id":2,"n":"parse","f":"bw"}`,
		`{"t":1000100,"k":"start","s":1,"id":2}`,
		`{"t":20000000,"k":"end","s":1,"id":2,"st":"panicked","err":"index out of range","stack":"goroutine 7 [running]:\nmain.parse(…)\n\t/src/main.go:41"}`,
		`{"t":20000100,"k":"cancel","id":1,"why":"panicked","by":2,"err":"index out of range"}`,
		`{"t":30000000,"k":"stuck","s":1,"id":1,"stack":"goroutine 6 [chan receive]:\nmain.deaf(…)\n\t/src/main.go:17"}`,
		`{"t":30000100,"k":"close","id":1,"err":"task \"parse\" panicked"}`,
		`{"t":30000200,"k":"bye"}`,
	)
}

// climbing is a failure that goes up: the task of a scope below fails with it.
func climbing() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"app"}`,
		`{"t":100,"k":"spawn","s":1,"id":1,"n":"import","f":"bw"}`,
		`{"t":200,"k":"start","s":1,"id":1}`,
		`{"t":300,"k":"spawn","s":1,"id":2,"n":"serve","f":"bw"}`,
		`{"t":400,"k":"start","s":1,"id":2}`,
		`{"t":500,"k":"scope","id":2,"in":1,"by":1,"n":"batch"}`,
		`{"t":600,"k":"spawn","s":2,"id":1,"n":"row","f":"bw"}`,
		`{"t":700,"k":"spawn","s":2,"id":2,"n":"index","f":"bw"}`,
		`{"t":5000,"k":"end","s":2,"id":1,"st":"failed","err":"bad row"}`,
		`{"t":5100,"k":"cancel","id":2,"why":"task failed","by":1,"err":"bad row"}`,
		`{"t":5200,"k":"end","s":2,"id":2,"st":"canceled","err":"context canceled"}`,
		`{"t":5300,"k":"close","id":2,"err":"bad row"}`,
		`{"t":5400,"k":"end","s":1,"id":1,"st":"failed","err":"bad row"}`,
		`{"t":5500,"k":"cancel","id":1,"why":"task failed","by":1,"err":"bad row"}`,
		`{"t":5600,"k":"end","s":1,"id":2,"st":"canceled","err":"context canceled"}`,
		`{"t":5700,"k":"close","id":1,"err":"bad row"}`,
		`{"t":5800,"k":"bye"}`,
	)
}

// instant is a scope that takes no time at all.
func instant() []byte {
	return logOf(`{"t":0,"k":"scope","id":1,"n":"blink"}`, `{"t":0,"k":"close","id":1}`, `{"t":0,"k":"bye"}`)
}

// hour is a long run with something short at its end.
func hour() []byte {
	return logOf(
		`{"t":0,"k":"scope","id":1,"n":"server"}`,
		`{"t":3599999999500,"k":"spawn","s":1,"id":1,"n":"blip","f":"bw"}`,
		`{"t":3599999999700,"k":"end","s":1,"id":1,"st":"ok"}`,
		`{"t":3600000000000,"k":"close","id":1}`,
		`{"t":3600000000000,"k":"bye"}`,
	)
}

var hostileNames = []string{
	`</script><script>document.title='pwned'</script>`,
	`<img src=x onerror="document.title='pwned'">`,
	strings.Repeat("long ", 2000),
	"abc\u202egnp.exe",
	"nul\x00bell\x07escape\x1b[31m del\x7f",
	"👩‍👩‍👧‍👦 семья 家族 عائلة",
	"",
	"two\nlines\tand a tab",
	"-->]]>${1}{{.}}%s",
	"__proto__",
	"\u2028\u2029\ufeff\u200b",
}

// nasty has names that want out of their place.
func nasty() []byte {
	var b bytes.Buffer
	b.WriteString(header)
	quoted := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	fmt.Fprintln(&b, `{"t":0,"k":"scope","id":1,"n":"root"}`)
	for i, name := range hostileNames {
		fmt.Fprintf(&b, `{"t":%d,"k":"spawn","s":1,"id":%d,"n":%s,"f":"w"}`+"\n", 10*i, i+1, quoted(name))
		fmt.Fprintf(&b, `{"t":%d,"k":"start","s":1,"id":%d}`+"\n", 10*i+1, i+1)
		fmt.Fprintf(&b, `{"t":%d,"k":"scope","id":%d,"in":1,"by":%d,"n":%s}`+"\n", 10*i+2, i+100, i+1, quoted(name))
		fmt.Fprintf(&b, `{"t":%d,"k":"end","s":1,"id":%d,"st":"failed","err":%s,"stack":%s}`+"\n", 400+10*i, i+1, quoted(name), quoted(name))
	}
	fmt.Fprintf(&b, `{"t":600,"k":"cancel","id":1,"why":"task failed","by":1,"err":%s}`+"\n", quoted(hostileNames[0]))
	fmt.Fprintf(&b, `{"t":700,"k":"close","id":1,"err":%s}`+"\n", quoted(hostileNames[0]))
	return b.Bytes()
}

// trioVis is a file that trio-vis would write.
const trioVis = `{"config": {"makeDirectScopeTransparent": true}, "runRecords": [
	{"time": 0, "desc": "created", "name": "main-0__TRIO_VIS_Tscope", "type": "scope"},
	{"time": 1, "desc": "created", "name": "main-0", "type": "task", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 2, "desc": "created", "name": "nursery-0", "type": "scope", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 3, "desc": "created", "name": "worker-0__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 4, "desc": "created", "name": "worker-0", "type": "task", "parent": "worker-0__TRIO_VIS_Tscope"},
	{"time": 5, "desc": "created", "name": "worker-1__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 6, "desc": "created", "name": "worker-1", "type": "task", "parent": "worker-1__TRIO_VIS_Tscope"},
	{"time": 7, "desc": "exited", "name": "worker-0", "type": "task", "parent": "worker-0__TRIO_VIS_Tscope"},
	{"time": 8, "desc": "exited", "name": "worker-0__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 9, "desc": "exited", "name": "worker-1", "type": "task", "parent": "worker-1__TRIO_VIS_Tscope"},
	{"time": 10, "desc": "exited", "name": "worker-1__TRIO_VIS_Tscope", "type": "scope", "parent": "nursery-0"},
	{"time": 11, "desc": "exited", "name": "nursery-0", "type": "scope", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 12, "desc": "exited", "name": "main-0", "type": "task", "parent": "main-0__TRIO_VIS_Tscope"},
	{"time": 13, "desc": "exited", "name": "main-0__TRIO_VIS_Tscope", "type": "task"}]}`
