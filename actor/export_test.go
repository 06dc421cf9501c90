package actor

// SetProtocol makes this process one of another version of the protocol.
func SetProtocol(version int) { protocol = version }
