package traigo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/traigo/traigo"
)

// acrossTheBorder is what another process gets of an error that is sent there as JSON.
func acrossTheBorder(err error) error {
	sent, _ := json.Marshal(traigo.AsRemote(err, "process 4711"))
	var received *traigo.RemoteError
	_ = json.Unmarshal(sent, &received)
	return received
}

// An error of another process is asked like one of this process.
func ExampleRemoteError() {
	err := acrossTheBorder(&fs.PathError{Op: "open", Path: "/data/7", Err: syscall.ENOENT})

	fmt.Println(err)
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		fmt.Println(at.Path)
	}
	// Output:
	// open /data/7: no such file or directory
	// true
	// /data/7
}

func ExampleAsRemote() {
	err := fmt.Errorf("loading: %w", errors.Join(fs.ErrNotExist, errors.New("no default either")))

	fmt.Printf("%+v\n", traigo.AsRemote(err, "process 4711"))
	// Output:
	// loading: file does not exist; no default either (*fmt.wrapError, process 4711)
	// 	file does not exist; no default either (*errors.joinError)
	// 		file does not exist (*errors.errorString)
	// 		no default either (*errors.errorString)
}

var errQuota = errors.New("over quota")

// A registered value is found by errors.Is. Another error with its text is another error.
func ExampleRegisterError() {
	traigo.RegisterError(errQuota) // in init, in both processes

	err := acrossTheBorder(fmt.Errorf("upload: %w", errQuota))
	fmt.Println(errors.Is(err, errQuota))
	err = acrossTheBorder(errors.New("over quota"))
	fmt.Println(errors.Is(err, errQuota))
	// Output:
	// true
	// false
}

// A rowError says which row of a file is wrong. Err gets back what the error wraps.
type rowError struct {
	Row int
	Err error
}

func (e *rowError) Error() string { return fmt.Sprintf("row %d: %v", e.Row, e.Err) }

func (e *rowError) Unwrap() error { return e.Err }

// A registered type is found by errors.As, with its exported fields.
func ExampleRegisterErrorType() {
	traigo.RegisterErrorType[*rowError]() // in init, in both processes

	err := acrossTheBorder(fmt.Errorf("import: %w", &rowError{Row: 7, Err: fs.ErrInvalid}))
	if wrong, ok := errors.AsType[*rowError](err); ok {
		fmt.Println(wrong.Row, wrong.Err)
	}
	// Output: 7 invalid argument
}
