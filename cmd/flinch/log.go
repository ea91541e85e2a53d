package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/log"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/termenv"

	"github.com/flinch-run/flinch/config"
)

// logger makes flinch's own voice: one line a fact, on w.
func (o *options) logger(w io.Writer) (*slog.Logger, error) {
	formats := map[string]log.Formatter{"text": log.TextFormatter, "json": log.JSONFormatter, "logfmt": log.LogfmtFormatter}
	format, ok := formats[o.logFormat]
	if !ok {
		return nil, exit(exitUsage, fmt.Errorf("--log-format: unknown format %q, want text, json or logfmt", o.logFormat))
	}
	level := log.InfoLevel
	switch {
	case o.quiet:
		level = log.WarnLevel
	case o.verbose:
		level = log.DebugLevel
	}
	clock := "2006-01-02T15:04:05.000Z07:00"
	if format == log.TextFormatter {
		clock = time.TimeOnly
	}
	l := log.NewWithOptions(w, log.Options{
		Formatter: format, Level: level, Prefix: "flinch", ReportTimestamp: true, TimeFormat: clock,
	})
	styles := log.DefaultStyles()
	styles.Levels[log.InfoLevel] = lipgloss.NewStyle().SetString("") // what is usual needs no word for it
	l.SetStyles(styles)
	colored, err := o.colored(o.err)
	if err != nil {
		return nil, err
	}
	if !colored {
		l.SetColorProfile(termenv.Ascii)
	} else {
		l.SetColorProfile(termenv.ANSI)
	}
	return slog.New(l), nil
}

// colored tells whether colours are wanted on w: as --color says, else where w
// is a terminal and NO_COLOR is not set (no-color.org).
func (o *options) colored(w io.Writer) (bool, error) {
	switch o.color {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
		return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w), nil
	}
	return false, exit(exitUsage, fmt.Errorf("--color: unknown choice %q, want auto, always or never", o.color))
}

func isTerminal(w any) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(f.Fd())
}

// reportErrors is the text of an error as a terminal shows it: a config's with
// the lines in question, any other in one line and a hint.
func reportErrors(w io.Writer, err error) {
	var several config.Errors
	var one *config.Error
	switch {
	case errors.As(err, &several):
		for _, e := range several {
			fmt.Fprint(w, configText(e))
		}
	case errors.As(err, &one):
		fmt.Fprint(w, configText(one))
	default:
		printError(w, err)
	}
}

// configText is an error of a config. Editors and terminals know FILE:LINE:COL at
// the beginning of a line; a flag has none.
func configText(e *config.Error) string {
	if e.Pos.Line == 0 {
		return "flinch: " + e.Text()
	}
	return e.Text()
}

// hintOf is what an error says that the user can do; empty where it says nothing.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// plural is "1 rule" or "3 rules".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "ch") || strings.HasSuffix(what, "s") {
		return fmt.Sprintf("%d %ses", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
