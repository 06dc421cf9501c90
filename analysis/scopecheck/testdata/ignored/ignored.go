package ignored

import (
	"context"

	"github.com/traigo/traigo"
)

func one(context.Context) (int, error) { return 1, nil }

func ignored(s *traigo.Scope) {
	traigo.Async(s, one) //scopecheck:ignore the error is found in the outcome
	//scopecheck:ignore the error is found in the outcome
	traigo.Async(s, one)
	traigo.Async(s, one) // want `nobody awaits`
	/* want `//scopecheck:ignore needs a reason behind it` */ //scopecheck:ignore
	traigo.Async(s, one)                                      // want `nobody awaits`
	//scopecheck:ignored is another word
	traigo.Async(s, one) // want `nobody awaits`
}
