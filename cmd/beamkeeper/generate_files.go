package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// generatedFile is one file of a generate verb.
type generatedFile struct {
	name string // relative to the folder given with --output
	mode os.FileMode
	text []byte
}

// generateFiles makes a verb for what make gives. One file is printed; several are too, each with its name before it,
// or go to the folder of --output, where nothing is overwritten.
func (c *cli) generateFiles(cmd *cobra.Command, make func() ([]generatedFile, error)) *cobra.Command {
	output := cmd.Flags().String("output", "", "folder to write the files to, instead of printing them")
	cobra.CheckErr(cmd.MarkFlagDirname("output"))
	cmd.Args = arguments()
	cmd.RunE = func(*cobra.Command, []string) error {
		files, err := make()
		if err != nil {
			return err
		}
		if *output == "" {
			return printGenerated(c.out, files)
		}
		return c.writeGenerated(*output, files)
	}
	return cmd
}

func printGenerated(w io.Writer, files []generatedFile) error {
	for i, f := range files {
		if len(files) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "# ---- %s ----\n", f.name)
		}
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) writeGenerated(dir string, files []generatedFile) error {
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); err == nil {
			return &api.Error{Code: api.CodeRefused, Message: fmt.Sprintf("%s exists; nothing was written", path), Hint: "remove it, or choose another folder with --output"}
		}
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.text, f.mode); err != nil {
			return err
		}
		fmt.Fprintln(c.out, path)
	}
	return nil
}
