// A reverse proxy as people write it with net/http, whose target changes while it serves.
//
// It prints its own address. Each line of its input is the address of the next target; it prints "switched" once each request
// for the one before has been written to it whole, so that the one before may be told to stop.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
)

// A connection that tells when the next write is done. Each request here is one write.
type conn struct {
	net.Conn
	written atomic.Pointer[func()]
}

func (c *conn) Write(bytes []byte) (int, error) {
	count, err := c.Conn.Write(bytes)
	if written := c.written.Swap(nil); written != nil {
		(*written)()
	}
	return count, err
}

type target struct {
	proxy  *httputil.ReverseProxy
	unsent int
}

var (
	lock    sync.Mutex
	sent    = sync.NewCond(&lock)
	current *target
)

func newTarget(address string) *target {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.Transport = &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled, err := new(net.Dialer).DialContext(ctx, network, address)
			return &conn{Conn: dialled}, err
		},
	}
	return &target{proxy: proxy}
}

func serve(response http.ResponseWriter, request *http.Request) {
	lock.Lock()
	to := current
	to.unsent++
	lock.Unlock()
	var once sync.Once
	done := func() {
		once.Do(func() {
			lock.Lock()
			to.unsent--
			sent.Broadcast()
			lock.Unlock()
		})
	}
	defer done()
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		info.Conn.(*conn).written.Store(&done)
	}}
	to.proxy.ServeHTTP(response, request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		next := newTarget(lines.Text())
		lock.Lock()
		before := current
		current = next
		for before != nil && before.unsent > 0 {
			sent.Wait()
		}
		lock.Unlock()
		if before == nil {
			go http.Serve(listener, http.HandlerFunc(serve))
			fmt.Println(listener.Addr())
		} else {
			fmt.Println("switched")
		}
	}
}
