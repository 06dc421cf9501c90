package plugin_test

import (
	"testing"

	"github.com/golangci/plugin-module-register/register"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "github.com/traigo/traigo/analysis/plugin"
	"github.com/traigo/traigo/analysis/scopecheck"
)

func TestPlugin(t *testing.T) {
	newPlugin, err := register.GetPlugin("scopecheck")
	require.NoError(t, err)

	on := func() string { return scopecheck.Analyzer.Flags.Lookup("goroutine").Value.String() }
	plugin, err := newPlugin(map[string]any{"goroutine": false})
	require.NoError(t, err)
	assert.Equal(t, "false", on())
	_, err = newPlugin(map[string]any{"goroutine": true})
	require.NoError(t, err)
	assert.Equal(t, "true", on())
	_, err = newPlugin(nil)
	require.NoError(t, err)

	analyzers, err := plugin.BuildAnalyzers()
	require.NoError(t, err)
	require.Len(t, analyzers, 1)
	assert.Same(t, scopecheck.Analyzer, analyzers[0])
	assert.Equal(t, register.LoadModeTypesInfo, plugin.GetLoadMode())
}

func TestPluginSaysWhatIsWrongWithItsSettings(t *testing.T) {
	newPlugin, err := register.GetPlugin("scopecheck")
	require.NoError(t, err)
	_, err = newPlugin(map[string]any{"goroutines": false})
	require.ErrorContains(t, err, "goroutines")
	_, err = newPlugin("all")
	require.ErrorContains(t, err, "a rule and true or false")
}
