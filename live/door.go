package live

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// Which requests are answered: not those that a browser sends for a page of another site, as
// far as the request tells that. And how many streams there may be, so that one client does not
// take all.

// refusal returns why a request is refused; "" if it is not. last is the last element of its
// path.
func refusal(r *http.Request, last string) string {
	switch {
	case isCrossSite(r, last):
		return "asked for by a page of another site"
	case isRebound(r):
		return "the Host header has neither localhost nor an IP address, and the connection is a local one: a page of another site " +
			"may have made its name one of this machine. A proxy in front has to set Host to the address that it connects to"
	default:
		return ""
	}
}

// isCrossSite reports whether a browser sends the request for a page of another site, other
// than by a link to the page or the tree. Such a page cannot read the answer, but could
// keep the program busy, have its stacks dumped, and use up the streams.
func isCrossSite(r *http.Request, last string) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
		return false
	}
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "document" && dest != "" {
		return true // the navigation of a frame is no link
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.URL.Query().Has("stacks") || last == "events" || last == "stack"
}

// isRebound reports whether a request may be one of DNS rebinding: a page of another site has
// its own name resolve to 127.0.0.1, and to the browser, what is served there is then of the
// same site. Its requests have that name in their Host header. Only the loopback interface is
// looked at: on others a program may be served under any name.
func isRebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	_, err = netip.ParseAddr(strings.Trim(host, "[]"))
	return err != nil
}

const (
	maxStreams       = 100
	maxClientStreams = 20
)

// openStream counts a stream of the client, or returns why there is none.
func (h *handler) openStream(client string) (refused string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.streams == maxStreams:
		return strconv.Itoa(maxStreams) + " are open"
	case h.streamsOf[client] == maxClientStreams:
		return strconv.Itoa(maxClientStreams) + " of this client are open"
	}
	h.streams++
	h.streamsOf[client]++
	return ""
}

func (h *handler) closeStream(client string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams--
	if h.streamsOf[client]--; h.streamsOf[client] == 0 {
		delete(h.streamsOf, client)
	}
}

// clientOf returns what a request comes from. This machine is one client, whichever of its
// loopback addresses it uses, and so is a network of IPv6 with 64 bits, of which a host has all
// addresses. Behind a proxy all clients are one.
func clientOf(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	switch at := from.Addr().Unmap(); {
	case at.IsLoopback():
		return "loopback"
	case at.Is6():
		return netip.PrefixFrom(at.WithZone(""), 64).Masked().String()
	default:
		return at.String()
	}
}

// refuseStream answers a request for a stream when there is none to be had. The page then asks
// for JSON from time to time, and shows why.
func refuseStream(w http.ResponseWriter, r *http.Request, why string) {
	w.Header().Set("Retry-After", "10")
	if format, err := formatOf(r); err != nil || format != formatJSON {
		http.Error(w, "live: no stream to be had: "+why, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
}
