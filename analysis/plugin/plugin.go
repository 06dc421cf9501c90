// Package plugin makes scopecheck a module plugin of golangci-lint. It is imported by the
// program that `golangci-lint custom` builds; the README of the module says how.
package plugin

import (
	"fmt"

	"github.com/golangci/plugin-module-register/register"
	"golang.org/x/tools/go/analysis"

	"github.com/traigo/traigo/analysis/scopecheck"
)

func init() { //nolint:gochecknoinits // this is how golangci-lint learns of a plugin
	register.Plugin("scopecheck", New)
}

// New returns the plugin. The settings have the names of rules, with false for those that are
// to be switched off.
func New(settings any) (register.LinterPlugin, error) {
	rules, err := register.DecodeSettings[map[string]bool](settings)
	if err != nil {
		return nil, fmt.Errorf("the settings of scopecheck have a rule and true or false in each line: %w", err)
	}
	for rule, on := range rules {
		if err := scopecheck.Analyzer.Flags.Set(rule, fmt.Sprint(on)); err != nil {
			return nil, fmt.Errorf("scopecheck: %w", err)
		}
	}
	return linter{}, nil
}

type linter struct{}

func (linter) BuildAnalyzers() ([]*analysis.Analyzer, error) {
	return []*analysis.Analyzer{scopecheck.Analyzer}, nil
}

func (linter) GetLoadMode() string { return register.LoadModeTypesInfo }
