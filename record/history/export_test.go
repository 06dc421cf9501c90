package history

import "encoding/json"

// ParseBoth reads a line by hand, and with encoding/json: simple is false where the
// first leaves it to the second.
func ParseBoth(text []byte) (byHand, byJSON any, simple bool, err error) {
	var one, two line
	simple = one.scan(text)
	err = json.Unmarshal(text, &two)
	return one, two, simple, err
}
