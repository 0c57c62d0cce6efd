// consume GROUP TOPIC: reads a topic as a member of a group, and prints the value of each record
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"weirkeeper.example/weir"
)

type frame struct {
	Type        string
	Partition   int
	NextOffset  int64
	MemberEpoch *int64
	Records     []struct{ Value json.RawMessage }
}

var mayJoinAgain = []string{"UNKNOWN_MEMBER", "FENCED_MEMBER_EPOCH", "TOO_MANY_REQUESTS"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	group, topic := os.Args[1], os.Args[2]
	// A member that comes back under its id keeps its partitions.
	query := url.Values{"topics": {topic}, "memberId": {rand.Text()}, "reset": {"earliest"}}
	address := strings.Replace(weir.URL(), "http", "ws", 1) + "/v1/groups/" + url.PathEscape(group) + "/stream?" + query.Encode()
	for ctx.Err() == nil {
		err := consume(ctx, address, topic)
		var closed websocket.CloseError
		if errors.As(err, &closed) && closed.Code/100 == 44 && !slices.Contains(mayJoinAgain, closed.Reason) {
			weir.Exit(ctx, fmt.Errorf("the server has closed the connection: %s", closed.Reason))
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func consume(ctx context.Context, address, topic string) error {
	// A read that is given up breaks the connection: this context outlives the signal, and the member says that it leaves.
	life := context.WithoutCancel(ctx)
	socket, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: weir.Authorization()})
	if err != nil {
		return err
	}
	defer socket.CloseNow()
	socket.SetReadLimit(-1)
	send := func(frame map[string]any) error { return wsjson.Write(life, socket, frame) }
	defer context.AfterFunc(ctx, func() { _ = send(map[string]any{"type": "leave"}) })()
	if err := send(map[string]any{"type": "credit", "records": 1000}); err != nil {
		return err
	}
	epoch := int64(0)
	for {
		var received frame
		if err := wsjson.Read(life, socket, &received); err != nil {
			return err
		}
		if received.MemberEpoch != nil {
			epoch = *received.MemberEpoch
		}
		switch received.Type {
		case "revoking":
			// Another member gets these partitions. All their records are processed, so they can be released at once.
			err = send(map[string]any{"type": "released", "memberEpoch": epoch})
		case "records":
			for _, record := range received.Records {
				fmt.Println(text(record.Value))
			}
			offset := map[string]any{"topic": topic, "partition": received.Partition, "offset": received.NextOffset}
			err = errors.Join(
				send(map[string]any{"type": "commit", "memberEpoch": epoch, "offsets": []any{offset}}),
				send(map[string]any{"type": "credit", "records": len(received.Records)}),
			)
		}
		if err != nil {
			return err
		}
	}
}

// A text as it is, anything else as JSON.
func text(value json.RawMessage) string {
	var plain string
	if json.Unmarshal(value, &plain) == nil {
		return plain
	}
	return string(value)
}
