package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// secure produces ten records to partition 0 on a listener that authenticates, consumes ten from its start, and prints
// "ok 10".
func secure(args []string) error {
	flags := flag.NewFlagSet("secure", flag.ExitOnError)
	bootstrap := flags.String("bootstrap", "", "bootstrap servers")
	topic := flags.String("topic", "", "topic")
	patience := flags.Int("patience", 30, "seconds")
	security := newSecurityFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.ClientID("dohle-compat-franz-go"),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.RequestRetries(2),
		kgo.RecordRetries(2),
	}
	secured, err := security.options()
	if err != nil {
		return err
	}
	opts = append(opts, secured...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*patience)*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return err
	}
	const count = 10
	for n := 0; n < count; n++ {
		record := &kgo.Record{Topic: *topic, Partition: 0, Value: fmt.Appendf(nil, "value %d", n)}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	for read := 0; read < count; {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err(), ctx.Err()); err != nil {
			return err
		}
		read += fetches.NumRecords()
	}
	fmt.Println("ok", count)
	return nil
}

// securityFlags say how a client authenticates.
type securityFlags struct {
	mechanism, user, password, ca, store *string
	token                                *bool
}

func newSecurityFlags(flags *flag.FlagSet) securityFlags {
	return securityFlags{
		flags.String("mechanism", "", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER (the password is the token), or nothing"),
		flags.String("user", "", "user"),
		flags.String("password", "", "password"),
		flags.String("ca", "", "PEM file with the trusted certificates; nothing for no TLS"),
		flags.String("store", "", "PEM file with the client's certificate and key; nothing for none"),
		flags.Bool("token", false, "whether user and password are the id and the HMAC of a delegation token"),
	}
}

func (s securityFlags) options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	auth, err := saslMechanism(*s.mechanism, *s.user, *s.password, *s.token)
	if err != nil {
		return nil, err
	}
	if auth != nil {
		opts = append(opts, kgo.SASL(auth))
	}
	if *s.ca != "" {
		config, err := tlsConfig(*s.ca, *s.store)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	return opts, nil
}

func saslMechanism(name, user, password string, token bool) (sasl.Mechanism, error) {
	switch name {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "OAUTHBEARER":
		return oauth.Auth{Token: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password, IsToken: token}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password, IsToken: token}.AsSha512Mechanism(), nil
	}
	return nil, fmt.Errorf("unknown mechanism %q", name)
}

func tlsConfig(ca, store string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	if store != "" {
		pair, err := tls.LoadX509KeyPair(store, store)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
