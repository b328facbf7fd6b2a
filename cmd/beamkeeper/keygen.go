package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/beamkeeper/beamkeeper/internal/api"
	"github.com/beamkeeper/beamkeeper/release"
)

func (c *cli) keygenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keygen [FILE]",
		Short: "Make a pair of keys to sign releases with",
		Long: "Writes a private key to FILE (beamkeeper.key, mode 0400) and the public one beside it, to FILE.pub, both as minisign does.\n" +
			"What signs keeps the private one (publish --sign FILE); hosts get the public one (release.public_keys). Nothing is overwritten.",
		Args: arguments("[FILE]"),
	}
	asJSON := jsonFlag(cmd)
	passwordFile := cmd.Flags().String("password-file", "", "file with a password to encrypt the private key with; default: $BEAMKEEPER_SIGN_PASSWORD, or asked for on a terminal")
	plain := cmd.Flags().Bool("no-password", false, "do not ask for a password")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		file := "beamkeeper.key"
		if len(args) > 0 {
			file = args[0]
		}
		password, err := c.newPassword(*passwordFile, *plain)
		if err != nil {
			return err
		}
		public, private, err := release.NewKey()
		if err != nil {
			return err
		}
		text, err := private.Text(password)
		if err != nil {
			return err
		}
		if err := writeKeyFile(file, text, 0o400); err != nil {
			return err
		}
		if err := writeKeyFile(file+".pub", public.Text(), 0o444); err != nil {
			return errors.Join(err, os.Remove(file))
		}
		if *asJSON {
			return printJSON(c.out, map[string]string{"id": public.ID(), "public_key": public.String(), "private_key_file": file, "public_key_file": file + ".pub"})
		}
		fmt.Fprintf(c.out, "%s  the private key %s; keep it where releases are signed\n%s  the public one; for the hosts:\n\nrelease:\n  verify: required\n  public_keys: [%s]\n", file, public.ID(), file+".pub", public)
		return nil
	}
	return cmd
}

// newPassword finds the password for a new key; empty: none.
func (c *cli) newPassword(file string, plain bool) (string, error) {
	if plain {
		return "", nil
	}
	password, err := c.signPassword(file)
	if err != nil || password != "" || file != "" || !c.canAsk() {
		return password, err
	}
	if password, err = c.ask("Password of the new key (empty: none): "); err != nil || password == "" {
		return "", err
	}
	again, err := c.ask("Once more: ")
	if err == nil && again != password {
		err = api.Errorf(api.CodeUsage, "the two passwords differ; nothing was written")
	}
	return password, err
}

// canAsk reports whether somebody sits at a terminal.
func (c *cli) canAsk() bool {
	f, ok := c.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ask asks for a password on the terminal.
func (c *cli) ask(question string) (string, error) {
	fmt.Fprint(c.err, question)
	b, err := term.ReadPassword(int(c.in.(*os.File).Fd()))
	fmt.Fprintln(c.err)
	return string(b), err
}

// writeKeyFile writes a file that is not there yet.
func writeKeyFile(file string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		e := &api.Error{Code: api.CodeFailed, Message: err.Error(), Err: err}
		if errors.Is(err, fs.ErrExist) {
			e.Code, e.Hint = api.CodeRefused, "name another file; keys are never overwritten"
		}
		return e
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
