// net/http as it should be set up: it echoes, and ends on SIGTERM after what is in flight.
package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	port := os.Getenv("FC_CUSTOM_LISTEN_PORT")
	if port == "" {
		port = "9000"
	}
	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		io.Copy(response, request.Body)
	})
	server := &http.Server{Addr: ":" + port}
	ended := make(chan struct{})
	go func() {
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		<-terminated
		server.Shutdown(context.Background())
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		println(err.Error())
		os.Exit(1)
	}
	<-ended
}
