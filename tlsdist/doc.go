// Package tlsdist carries the Erlang distribution over mutual TLS, as inet_tls_dist does: it gives a node its
// Transport, keeps a certificate authority of its own, and reads certificates that are there already.
//
// Both sides show a certificate and both check it. What a peer must have:
//
//	its certificate    from an authority that we trust, in its time, for the use (client or server) it makes of it
//	its host           the host of the node name it claims, among the certificate's DNS names
//	its node name      with our own authority: exactly the name that the certificate was issued for
//	its standing       with our own authority: the certificate is still on record, see Authority.Retire
//
// The third and fourth are more than a BEAM asks. A BEAM checks the chain of whoever connects to it, and the host of
// those it connects to.
//
// Files of an Authority, in its folder:
//
//	ca.key                     its private key, 0400
//	ca.crt                     its certificate, for everybody; two during a Rollover
//	next.key, rollover         the key of the next authority, and how far its Rollover is
//	lock                       held by whoever changes something; daemon and command line may do so at one time
//	nodes/NAME/node.pem        certificate and key of a node in one file, so that both change in one step; 0400
//	nodes/NAME/node.crt        the certificate on record
//	nodes/NAME/previous.crt    the certificate before, which the BEAM may show until it has read the new one
//	nodes/NAME/inet_tls.conf   the ssl_dist_optfile of the node
//
// A BEAM reads node.pem again at most two minutes after it has changed (ssl_pem_cache) and uses it for the next link;
// links that are up stay up.
//
// TLS 1.3 and 1.2 are spoken. Distribution messages of the handshake have 4-byte lengths over TLS, 2-byte ones over
// TCP. OTP checks host names only: a node whose host is an IP address cannot be reached over TLS.
//
// The package logs nothing. Spec: https://www.erlang.org/doc/apps/ssl/ssl_distribution.html
package tlsdist
