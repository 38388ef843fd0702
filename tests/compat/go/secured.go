package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// secured produces records over a listener with TLS and consumes them. It prints the number of consumed records.
func secured(args []string) error {
	flags := flag.NewFlagSet("secured", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "addresses of brokers")
	topic := flags.String("topic", "", "topic")
	count := flags.Int("count", 100, "records")
	ca := flags.String("ca", "", "file with the authority's certificate")
	certificate := flags.String("certificate", "", "file with the client's certificate")
	key := flags.String("key", "", "file with the client's key")
	limit := flags.Duration("limit", time.Minute, "time limit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	if *certificate != "" {
		own, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{own}
	}
	client, err := kgo.NewClient(append(clientOptions(*bootstrap),
		kgo.DialTLSConfig(config),
		kgo.DefaultProduceTopic(*topic),
		kgo.ConsumeTopics(*topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return err
	}
	for n := range *count {
		if err := client.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint("record ", n))).FirstErr(); err != nil {
			return err
		}
	}
	consumed := 0
	for consumed < *count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		consumed += fetches.NumRecords()
	}
	fmt.Println("consumed", consumed)
	return nil
}
