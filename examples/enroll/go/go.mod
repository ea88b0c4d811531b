module mosaicstack.dev/federation/examples/enroll

go 1.19
