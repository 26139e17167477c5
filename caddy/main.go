// Caddy with its standard modules and the `cgi` directive.
//
// Caddy has no CGI of its own: plugins are compiled in. This is what `xcaddy build --with
// github.com/aksdb/caddy-cgi/v2` makes, written down so that go.mod and go.sum pin every version.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/aksdb/caddy-cgi/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
