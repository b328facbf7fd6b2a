package release

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// NetworkError tells what kind of trouble of the network err is: a *BucketError with ErrDNS, ErrTLS or ErrUnreachable.
// It is nil when err is none, such as an answer of the store.
func NetworkError(location string, err error) *BucketError {
	e := &BucketError{Location: location, Err: err}
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
		op     *net.OpError
		asked  *url.Error
	)
	switch {
	case errors.As(err, &dns):
		e.Kind, e.Detail = ErrDNS, dns.Name+": "+dns.Err
		e.Remedy = "is the bucket's region or endpoint spelled right? can this host resolve names?"
	case errors.As(err, &cert):
		e.Kind, e.Detail, e.Remedy = ErrTLS, cert.Err.Error(), certificateRemedy(cert.Err)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		e.Kind, e.Detail = ErrTLS, "the server does not speak TLS"
		e.Remedy = "the endpoint must begin with http:// for a server without TLS"
	case errors.As(err, &alert):
		e.Kind, e.Detail = ErrTLS, alert.Error()
	case errors.As(err, &op):
		e.Kind, e.Detail = ErrUnreachable, opText(op)
		e.Remedy = "is the network up? is the endpoint right? is a proxy needed (HTTPS_PROXY)?"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Kind, e.Detail = ErrUnreachable, "the connection was cut off"
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Kind, e.Detail = ErrUnreachable, "no answer in time"
	case errors.As(err, &asked):
		e.Kind, e.Detail = ErrUnreachable, asked.Err.Error()
	default:
		return nil
	}
	return e
}

func certificateRemedy(err error) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "install the certificate of the authority that signed the server's (ca-certificates), or name it in SSL_CERT_FILE; a proxy that opens TLS shows up like this, too"
	case errors.As(err, &host):
		return "the endpoint must have a name that is in the server's certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the server's certificate; is this host's clock right?"
	}
	return ""
}

// opText is what failed, without the ports that differ each time.
func opText(op *net.OpError) string {
	text := op.Err.Error()
	var no syscall.Errno
	if errors.As(op.Err, &no) {
		text = no.Error()
	} else if op.Timeout() {
		text = "no answer in time"
	}
	if op.Addr == nil {
		return text
	}
	return fmt.Sprintf("%s: %s", op.Addr, text)
}
