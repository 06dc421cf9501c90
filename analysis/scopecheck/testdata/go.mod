module example.com/app

go 1.26

require github.com/traigo/traigo v0.0.0

require (
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/sourcegraph/conc v0.3.0 // indirect
)

replace github.com/traigo/traigo => ../../..
