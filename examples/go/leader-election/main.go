// leader-election NAME CANDIDATE TOPIC: waits to be elected, and appends a record to the topic each second while it leads
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"weirkeeper.example/weir"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	weir.Exit(ctx, run(ctx, os.Args[1], os.Args[2], os.Args[3]))
}

func run(ctx context.Context, name, candidate, topic string) error {
	session, err := weir.NewSession(ctx)
	if err != nil {
		return err
	}
	defer session.End()
	election := "/elections/" + name
	var place struct {
		Name string
		Stat struct{ Czxid int64 }
	}
	headers := weir.Headers{"Content-Type": "text/plain", "Weir-Session": session.Headers["Weir-Session"]}
	path := weir.Node(election+"/candidate-", "mode=ephemeral&parents=true")
	if _, err := weir.Request(session, "POST", path, headers, []byte(candidate), &place); err != nil {
		return err
	}
	if err := waitUntilFirst(session, election, place.Name); err != nil {
		return err
	}
	fmt.Println(candidate, "leads")
	// Grows from leader to leader: a partition refuses an older one once it has seen this one.
	fence := weir.Headers{"Weir-Fence": fmt.Sprintf("%s=%d", name, place.Stat.Czxid)}
	record := map[string]any{"records": []map[string]string{{"value": candidate + " leads"}}}
	for {
		if _, err := weir.Request(session, "POST", "/topics/"+topic+"/records", fence, record, nil); err != nil {
			return err
		}
		select {
		case <-session.Done():
			return errors.New("the session may have ended: somebody else leads")
		case <-time.After(time.Second):
		}
	}
}

// Waits for the node before its own, so that the end of a leader wakes one candidate.
func waitUntilFirst(session *weir.Session, election, own string) error {
	number := func(name string) string { return name[len(name)-10:] }
	for {
		var listed struct{ Children []string }
		if _, err := weir.Request(session, "GET", weir.Node(election, "view=children&limit=10000"), nil, nil, &listed); err != nil {
			return err
		}
		slices.SortFunc(listed.Children, func(a, b string) int { return strings.Compare(number(a), number(b)) })
		place := slices.Index(listed.Children, own)
		if place < 0 {
			return errors.New("the session has ended while this candidate was waiting")
		}
		if place == 0 {
			return nil
		}
		before := weir.Node(election+"/"+listed.Children[place-1], "view=stat&wait=30s")
		_, err := weir.Request(session, "GET", before, weir.Headers{"If-None-Match": "*"}, nil, nil)
		if err != nil && !weir.IsProblem(err, "NO_NODE") {
			return err
		}
	}
}
