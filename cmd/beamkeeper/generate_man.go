package main

import (
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// generateManCommand writes a page for each verb, in section 1.
func (c *cli) generateManCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "man --output DIR", Short: "Man pages, one for each verb", Args: arguments()}
	output := cmd.Flags().String("output", "", "folder to write the pages to")
	cobra.CheckErr(cmd.MarkFlagDirname("output"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output == "" {
			return api.Errorf(api.CodeUsage, "--output names no folder")
		}
		if err := os.MkdirAll(*output, 0o755); err != nil {
			return err
		}
		date := time.Now()
		if s, err := strconv.ParseInt(c.getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil { // for builds that can be repeated
			date = time.Unix(s, 0)
		}
		date = date.UTC()
		root := cmd.Root()
		root.DisableAutoGenTag = true
		return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "beamkeeper", Manual: "Beamkeeper", Date: &date}, *output)
	}
	return cmd
}
