module expo-gateway/test-clients

go 1.22
