// live-configuration APPLICATION: prints the settings as a line of JSON, and again at each transaction that changes them
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"weirkeeper.example/weir"
)

type settings map[string]string

// A node, or an event with what was written to one.
type node struct {
	Type, Path, Data, Encoding string
	Truncated                  bool
	Stat                       struct{ Mzxid int64 }
}

type frame struct {
	Type, Code, Detail string
	Zxid               int64
	Events             []node
}

// The changes since what was read are not kept any more.
var errCompacted = errors.New("compacted")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	root := "/settings/" + os.Args[1]
	for ctx.Err() == nil {
		zxid, all, err := readAll(ctx, root)
		if err != nil {
			weir.Exit(ctx, err)
			return
		}
		show(all)
		for ctx.Err() == nil && !errors.Is(err, errCompacted) {
			err = follow(ctx, root, &zxid, all)
			time.Sleep(300 * time.Millisecond)
		}
	}
}

// All settings as they were at one zxid: whoever sees anything newer than the list of keys reads again.
func readAll(ctx context.Context, root string) (int64, settings, error) {
	for {
		all := settings{}
		var listed struct{ Children []string }
		header, err := weir.Request(ctx, "GET", weir.Node(root, "view=children&limit=10000"), nil, nil, &listed)
		if weir.IsProblem(err, "NO_NODE") {
			header, err = weir.Request(ctx, "GET", weir.Node("/", "view=stat"), nil, nil, nil)
		}
		if err != nil {
			return 0, nil, err
		}
		zxid, err := strconv.ParseInt(header.Get("Weir-Zxid"), 10, 64)
		if err != nil {
			return 0, nil, err
		}
		isWhole := true
		for _, key := range listed.Children {
			var found node
			_, err := weir.Request(ctx, "GET", weir.Node(root+"/"+key, "view=node"), nil, nil, &found)
			if err != nil && !weir.IsProblem(err, "NO_NODE") {
				return 0, nil, err
			}
			isWhole = isWhole && err == nil && found.Stat.Mzxid <= zxid
			all[key] = found.text()
		}
		if isWhole {
			return zxid, all, nil
		}
	}
}

func (data node) text() string {
	if data.Encoding != "base64" {
		return data.Data
	}
	decoded, _ := base64.StdEncoding.DecodeString(data.Data)
	return string(decoded)
}

// Applies transaction after transaction, each as a whole. zxid says up to which the settings are as they should be.
func follow(ctx context.Context, root string, zxid *int64, all settings) error {
	url := strings.Replace(weir.URL(), "http", "ws", 1) + "/v1/watch"
	socket, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: weir.Authorization()})
	if err != nil {
		return err
	}
	defer socket.CloseNow()
	socket.SetReadLimit(-1)
	watch := map[string]any{"type": "watch", "id": "w", "path": root, "mode": "recursive", "data": true, "since": *zxid}
	if err := wsjson.Write(ctx, socket, watch); err != nil {
		return err
	}
	for {
		var received frame
		// There is a bookmark at least every 10 s.
		silence, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := wsjson.Read(silence, socket, &received)
		cancel()
		if err != nil {
			return err
		}
		switch received.Type {
		case "error":
			if received.Code == "COMPACTED" {
				return errCompacted
			}
			return errors.New(received.Detail)
		case "events":
			for _, event := range received.Events {
				if err := all.apply(ctx, root, event); err != nil {
					return err
				}
			}
			show(all)
			*zxid = received.Zxid
		case "bookmark":
			*zxid = received.Zxid
		}
	}
}

func (all settings) apply(ctx context.Context, root string, event node) error {
	key := strings.TrimPrefix(strings.TrimPrefix(event.Path, root), "/")
	if key == "" || strings.Contains(key, "/") || event.Type == "children" {
		return nil
	}
	if event.Type == "deleted" {
		delete(all, key)
		return nil
	}
	if event.Truncated {
		if _, err := weir.Request(ctx, "GET", weir.Node(event.Path, "view=node"), nil, nil, &event); err != nil {
			return err
		}
	}
	all[key] = event.text()
	return nil
}

func show(all settings) {
	text, _ := json.Marshal(all)
	fmt.Println(string(text))
}
