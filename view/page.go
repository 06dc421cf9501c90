package view

import (
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
)

// What web/build.mjs makes of web/view; `npm run check` in web/ compares.
var (
	//go:embed dist/page.js
	script string
	//go:embed dist/page.css
	style string
)

// writePage writes the page: fixed text around the log. The log is in base64, so that no
// name in it can end the element that it is in, and nothing else of it is in the HTML.
func writePage(w io.Writer, m *model) error {
	page := &sequence{w: w}
	page.text(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'; script-src `, hashOf(script), `; style-src `, hashOf(style), `">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>traigo</title>
<style>`, style, `</style>
</head>
<body>
<noscript>This page draws a recording with JavaScript, which is turned off. It needs no network.</noscript>
<div id="app"></div>
<script type="application/octet-stream" id="log">`)
	page.log(m)
	page.text("</script>\n<script>", script, "</script>\n</body>\n</html>\n")
	return page.err
}

// hashOf is how a Content-Security-Policy names an inline script or style.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// A sequence is what is written one after the other, up to the first error.
type sequence struct {
	w   io.Writer
	err error
}

func (s *sequence) text(parts ...string) {
	for _, part := range parts {
		if s.err == nil {
			_, s.err = io.WriteString(s.w, part)
		}
	}
}

// log writes the model: JSON, in gzip, in base64.
func (s *sequence) log(m *model) {
	if s.err != nil {
		return
	}
	text := base64.NewEncoder(base64.StdEncoding, s.w)
	packed := gzip.NewWriter(text)
	if s.err = json.NewEncoder(packed).Encode(m); s.err != nil {
		return
	}
	if s.err = packed.Close(); s.err != nil {
		return
	}
	s.err = text.Close()
}
