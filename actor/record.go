package actor

import (
	"github.com/traigo/traigo"
	"github.com/traigo/traigo/record"
)

func runOf(*traigo.Scope) string { return "" }

func startedBy(starter) record.Option { return record.Keep(4) }
