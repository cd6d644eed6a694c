// oliveroneill/exponent-server-sdk-golang, the Go client that Expo lists. It has no call for receipts.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	expo "github.com/oliveroneill/exponent-server-sdk-golang/sdk"
)

var client = expo.NewPushClient(&expo.ClientConfig{Host: os.Getenv("GATEWAY_URL")})

func main() {
	line, _ := json.Marshal(map[string]string{
		"version":  version(),
		"tickets":  passed(tickets()),
		"receipts": "none",
		"errors":   passed(failures()),
	})
	fmt.Println(string(line))
}

func tickets() error {
	responses, err := client.PublishMultiple([]expo.PushMessage{message("TOKEN_IOS"), message("TOKEN_ANDROID")})
	if err != nil {
		return err
	}
	for _, response := range responses {
		if err := response.ValidateResponse(); err != nil {
			return err
		}
	}
	return nil
}

func failures() error {
	unknown := message("TOKEN_UNKNOWN")
	response, err := client.Publish(&unknown)
	if err != nil {
		return err
	}
	var gone *expo.DeviceNotRegisteredError
	if !errors.As(response.ValidateResponse(), &gone) {
		return fmt.Errorf("ticket: got %v, wanted DeviceNotRegistered", response.ValidateResponse())
	}
	many := make([]expo.PushMessage, 101)
	for at := range many {
		many[at] = message("TOKEN_IOS")
	}
	if _, err := client.PublishMultiple(many); err == nil {
		return errors.New("101 messages were accepted")
	}
	return nil
}

func message(token string) expo.PushMessage {
	return expo.PushMessage{To: []expo.ExponentPushToken{expo.ExponentPushToken(os.Getenv(token))}, Body: "Hello"}
}

func passed(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/oliveroneill/exponent-server-sdk-golang" {
			return module.Version
		}
	}
	return "?"
}
