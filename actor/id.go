package actor

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// An ID says which process an actor is. It is comparable. The zero ID stands for nobody.
type ID struct {
	Path string `json:"path"` // "root/mid/leaf": the names from the root process down
	Pid  int    `json:"pid"`
	Host string `json:"host"`
}

// Name returns the last name of the path.
func (id ID) Name() string { return id.Path[strings.LastIndexByte(id.Path, '/')+1:] }

// String returns the path and the number of the process, and the host if it is another one.
func (id ID) String() string {
	if id == (ID{}) {
		return "nobody"
	}
	if id.Host != "" && id.Host != hostname() {
		return fmt.Sprintf("%s (pid %d on %s)", id.Path, id.Pid, id.Host)
	}
	return fmt.Sprintf("%s (pid %d)", id.Path, id.Pid)
}

// rootName is the name of a process that no actor has started.
const rootName = "root"

var hostname = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
})

// Self returns who this process is: an actor, or else the root of a tree.
func Self() ID {
	here.mu.Lock()
	defer here.mu.Unlock()
	return here.id
}
