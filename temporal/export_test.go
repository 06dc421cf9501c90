package temporal

// SetMaxEvents sets the length at which the history of a scope is started anew. It is called before
// Work.
func SetMaxEvents(n int) { maxEvents = n }
