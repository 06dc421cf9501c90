package supervise

import (
	"fmt"
	"time"
)

// Misuse panics at the call, as in the core.

func mustHave(call string, there bool, what, instead string) {
	if !there {
		panic("traigo: supervise." + call + ": nil " + what + "; " + instead)
	}
}

func mustBePositive(call string, d time.Duration) {
	if d <= 0 {
		panic(fmt.Sprintf("traigo: supervise.%s: %v is not a positive duration", call, d))
	}
}
