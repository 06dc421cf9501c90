package history

import "encoding/json"

// ParseBoth parses a line with scan and with encoding/json. simple is the result of scan.
func ParseBoth(text []byte) (byHand, byJSON any, simple bool, err error) {
	var one, two line
	simple = one.scan(text)
	err = json.Unmarshal(text, &two)
	return one, two, simple, err
}
