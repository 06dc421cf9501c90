// Package reports has tests only. Each replays a public report of a user of another
// concurrency library, and asks what traigo makes of the same program.
package reports
