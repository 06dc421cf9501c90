package live

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// What a client asks for.

type format int

const (
	asText format = iota
	asJSON
	asHTML
)

var (
	formatsByName = map[string]format{"text": asText, "json": asJSON, "html": asHTML}
	formatsByType = map[string]format{"text/plain": asText, "application/json": asJSON, "text/html": asHTML}
)

// formatOf takes ?format before the Accept header. Of that it takes the type with the
// greatest weight, the first of equals; text unless another is named: for curl, which
// accepts all.
func formatOf(r *http.Request) (format, error) {
	if name := r.URL.Query().Get("format"); name != "" {
		f, known := formatsByName[name]
		if !known {
			return asText, errors.New("live: format is text, json or html")
		}
		return f, nil
	}
	best, most := asText, 0.0
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, _ := strings.Cut(part, ";")
		f, known := formatsByType[strings.ToLower(strings.TrimSpace(kind))]
		if weight := weightOf(params); known && weight > most {
			best, most = f, weight
		}
	}
	return best, nil
}

func weightOf(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		if value, found := strings.CutPrefix(strings.TrimSpace(param), "q="); found {
			weight, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0
			}
			return weight
		}
	}
	return 1
}

// A query is which part of the tree is wanted, and how much of it.
type query struct {
	path   string
	scope  uint64
	all    bool // cut nothing
	full   bool // fold nothing either
	stacks bool
	force  bool // dump whatever it costs
}

func parseQuery(values url.Values) (query, error) {
	is := func(name string) bool { return values.Has(name) && values.Get(name) != "0" }
	q := query{
		path: values.Get("path"), full: is("full"), all: is("all") || is("full"),
		stacks: is("stacks"), force: values.Get("stacks") == "force",
	}
	var err error
	q.scope, err = numberIn(values, "scope")
	return q, err
}

// numberIn is 0 if there is none.
func numberIn(values url.Values, name string) (uint64, error) {
	text := values.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("live: %s is the number of one: %w", name, err)
	}
	return n, nil
}
