module github.com/traigo/traigo/temporal

go 1.26.0

replace github.com/traigo/traigo => ../
