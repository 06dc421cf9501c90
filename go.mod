module github.com/traigo/traigo

go 1.26

ignore ./web/node_modules

require github.com/sourcegraph/conc v0.3.0

require github.com/cenkalti/backoff/v5 v5.0.3

require golang.org/x/term v0.43.0

require (
	github.com/stretchr/testify v1.12.1
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.44.0 // indirect
)
