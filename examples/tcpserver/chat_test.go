package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGuestsHearEachOther(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())
	eve := call(t, ln.Addr().String())

	assert.Equal(t, "* "+bob.name+" joined", ann.hear())
	assert.Equal(t, "* "+eve.name+" joined", ann.hear())
	assert.Equal(t, "* "+eve.name+" joined", bob.hear())

	ann.say("hello")
	assert.Equal(t, ann.name+": hello", bob.hear())
	assert.Equal(t, ann.name+": hello", eve.hear())
	bob.say("  good morning\r")
	assert.Equal(t, bob.name+": good morning", ann.hear(), "and not what ann said herself")
	assert.Equal(t, bob.name+": good morning", eve.hear())
	assert.NoError(t, stop())
}

func TestWhoListsTheConversations(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())

	bob.say("/who")
	assert.Regexp(t, `^\* conn `+ann.name+`, 3 tasks, for \d+s$`, bob.hear())
	assert.Regexp(t, `^\* conn `+bob.name+`, 3 tasks, for \d+s \(you\)$`, bob.hear())
	assert.Equal(t, "* that is all", bob.hear())
	assert.NoError(t, stop())
}

func TestQuitEndsOneConversation(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())

	bob.say("/quit")
	assert.Equal(t, []string{"* goodbye"}, bob.rest())
	ann.waitFor("* " + bob.name + " left")
	ann.say("/who")
	assert.Contains(t, ann.hear(), ann.name)
	assert.Equal(t, "* that is all", ann.hear())
	assert.NoError(t, stop())
}

func TestQuitWaitsForSlowCommands(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	ann.say("/slow 20ms\n/quit")
	assert.Equal(t, []string{"* working for 20ms", "* done after 20ms", "* goodbye"}, ann.rest())
	assert.NoError(t, stop())
}

func TestCommandsCanBeWrong(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	for line, want := range map[string]string{
		"/dance":        "* no such command: /dance",
		"/slow":         "* how slow? from 0s to 1m0s",
		"/slow -1s":     "* how slow? from 0s to 1m0s",
		"/slow forever": "* how slow? from 0s to 1m0s",
	} {
		ann.say(line)
		assert.Equal(t, want, ann.hear(), line)
	}
	ann.say("\n" + strings.Repeat("long ", maxLine))
	assert.Equal(t, "* that line is too long", ann.hear())
	assert.NoError(t, stop())
}

func TestAVanishedGuestIsMissed(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())
	eve := call(t, ln.Addr().String())

	require.NoError(t, bob.Conn.(*net.TCPConn).SetLinger(0)) // Close sends a reset
	require.NoError(t, bob.Close())
	ann.waitFor("* " + bob.name + " left")
	eve.say("who was that?")
	assert.Equal(t, eve.name+": who was that?", ann.hear())
	assert.NoError(t, stop())
}

// A narrow listener returns connections with a small write buffer.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return conn, err
}

func TestASlowGuestIsDropped(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 4}, narrow{ln})
	slow := call(t, ln.Addr().String())
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())
	ann.waitFor("* " + bob.name + " joined")

	// Each line waits until bob has read the one before, so that he is not slow.
	speech := strings.Repeat("and so on ", maxLine/20)
	heard := ""
	for heard != "* "+slow.name+" was dropped: "+errTooSlow.Error() {
		ann.say(speech)
		heard = bob.hear()
	}
	ann.say("/who")
	assert.NotContains(t, strings.Join(ann.waitFor("* that is all"), "\n"), "conn "+slow.name)
	assert.NoError(t, stop())
}

func TestShutdownLetsCommandsFinish(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	bob := call(t, ln.Addr().String())
	ann.waitFor("* " + bob.name + " joined")
	ann.say("/slow 200ms")
	assert.Equal(t, "* working for 200ms", ann.hear())

	began := time.Now()
	assert.NoError(t, stop())
	assert.Less(t, time.Since(began), patience, "no longer than it takes")
	last := ann.rest()
	assert.Contains(t, last, "* server is shutting down")
	assert.Contains(t, last, "* done after 200ms")
	assert.Equal(t, "* goodbye", last[len(last)-1])
	assert.Contains(t, bob.rest(), "* server is shutting down")

	_, err := net.Dial("tcp", ln.Addr().String())
	assert.Error(t, err, "nobody new comes in")
}

func TestABrokenListenerEndsTheServer(t *testing.T) {
	ln := listen(t)
	stop := start(t, &server{queue: 16}, ln)
	ann := call(t, ln.Addr().String())
	require.NoError(t, ln.Close())
	assert.Equal(t, []string{"* something went wrong"}, ann.rest())
	assert.ErrorIs(t, stop(), net.ErrClosed)
}
