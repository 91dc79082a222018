module mainstem-clients

go 1.18

require github.com/segmentio/public-api-sdk-go v0.0.0-20250113195817-34106b6e08dd
