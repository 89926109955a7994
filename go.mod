module github.com/nego-sso/nego

go 1.26.0
