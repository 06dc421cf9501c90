package view

import (
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"io"
)

// The bundle that web/build.mjs makes of web/view. `npm run check` in web/ compares them.
var (
	//go:embed dist/page.js
	script string
	//go:embed dist/page.css
	style string
)

// writePage writes a fixed text with the model in it. The model is encoded in base64, so
// that no name in the log can end the element that contains it. Nothing else of the log is
// in the HTML.
func writePage(w io.Writer, m *model) error {
	page := &pageWriter{w: w}
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
	page.model(m)
	page.text("</script>\n<script>", script, "</script>\n</body>\n</html>\n")
	return page.err
}

// hashOf returns the source expression of a Content-Security-Policy for an inline script or
// style.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// A pageWriter writes until the first error.
type pageWriter struct {
	w   io.Writer
	err error
}

func (p *pageWriter) text(parts ...string) {
	for _, part := range parts {
		if p.err == nil {
			_, p.err = io.WriteString(p.w, part)
		}
	}
}

// model writes the model as JSON, compressed by gzip, in base64.
func (p *pageWriter) model(m *model) {
	if p.err != nil {
		return
	}
	text := base64.NewEncoder(base64.StdEncoding, p.w)
	packed := gzip.NewWriter(text)
	if p.err = json.NewEncoder(packed).Encode(m); p.err != nil {
		return
	}
	if p.err = packed.Close(); p.err != nil {
		return
	}
	p.err = text.Close()
}
