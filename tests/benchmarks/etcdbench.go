// Clients that put one value after another into etcd, for etcd.py:
//
//	etcdbench -n CLIENTS -s BYTES -t SECONDS -e ADDRESS
//
// They share four connections. The first second is not measured. Printed is one line with puts/s, p50 and p99.
// Debian's packages golang-go and golang-etcd-server-dev are enough to build it; docs/PERFORMANCE.md says how.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/ioutil"
	"log"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
	"google.golang.org/grpc/grpclog"
)

const connections = 4
const warmUp = time.Second

// client puts until the end, and gives how long each put took, in milliseconds, that began in the measured time.
func client(connection *clientv3.Client, number int, value string, begin, end time.Time) (took []float64) {
	for count := 0; ; count++ {
		sent := time.Now()
		if sent.After(end) {
			return took
		}
		if _, err := connection.Put(context.Background(), fmt.Sprintf("%d/%d", number, count), value); err != nil {
			log.Fatal(err)
		}
		if done := time.Now(); sent.After(begin) && done.Before(end) {
			took = append(took, done.Sub(sent).Seconds()*1e3)
		}
	}
}

func connect(address string, count int) (opened []*clientv3.Client) {
	for i := 0; i < count && i < connections; i++ {
		connection, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 5 * time.Second})
		if err != nil {
			log.Fatal(err)
		}
		opened = append(opened, connection)
	}
	return opened
}

func main() {
	clients := flag.Int("n", 64, "clients")
	size := flag.Int("s", 100, "bytes of a value")
	seconds := flag.Float64("t", 3, "seconds that are measured")
	address := flag.String("e", "127.0.0.1:2379", "a node's address")
	flag.Parse()
	clientv3.SetLogger(grpclog.NewLoggerV2(ioutil.Discard, ioutil.Discard, ioutil.Discard))
	opened := connect(*address, *clients)
	value := strings.Repeat("x", *size)
	begin := time.Now().Add(warmUp)
	end := begin.Add(time.Duration(*seconds * float64(time.Second)))
	took := make([][]float64, *clients)
	var running sync.WaitGroup
	for i := range took {
		running.Add(1)
		go func(i int) {
			defer running.Done()
			took[i] = client(opened[i%len(opened)], i, value, begin, end)
		}(i)
	}
	running.Wait()
	var all []float64
	for _, some := range took {
		all = append(all, some...)
	}
	if len(all) == 0 {
		log.Fatal("no put was done in the measured time")
	}
	sort.Float64s(all)
	fmt.Printf("etcd n=%d puts/s=%.1f p50=%.3fms p99=%.3fms\n", *clients, float64(len(all))/(*seconds), all[len(all)/2], all[len(all)*99/100])
}
