// net/http as in its documentation, on one processor.
package main

import (
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"
)

func main() {
	runtime.GOMAXPROCS(1)
	http.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, "Hello, World!")
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})
	http.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			io.WriteString(w, "data: @\n\n")
			w.(http.Flusher).Flush()
			select {
			case <-ticks.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	http.HandleFunc("/burst", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := 0; event < 2000; event++ {
			io.WriteString(w, "data: @\n\n")
			w.(http.Flusher).Flush()
		}
	})
	panic(http.ListenAndServe("0.0.0.0:"+os.Args[1], nil))
}
