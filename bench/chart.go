package main

import (
	_ "embed"
	"html/template"
	"os"
)

// The chart is a few rows of bars, which a page of its own draws: browsers have the fonts, and know whether it is dark.
//
//go:embed chart.svg.tmpl
var chartSVG string

var chartTemplate = template.Must(template.New("chart").Parse(chartSVG))

// Sizes of the chart, in pixels.
const (
	chartWidth = 840
	barLeft    = 230 // where bars begin
	barRight   = 740 // where the longest one ends
	rowHeight  = 24
	barHeight  = 14
	panelHead  = 46
	panelFoot  = 14
)

// A panel is bars on one scale.
type panel struct {
	Title string
	Y     int
	Bars  []bar
}

type bar struct {
	Label, Value, Class        string
	Y                          int     // top of the bar
	Middle                     int     // of the bar
	Width, Low, High, AfterBar float64 // Low and High are the ends of the whisker
}

// chart writes the figures that matter most as bars.
func (r *Results) chart(file string) (err error) {
	tokens := []string{negoDefault, negoContext, cFloor, cAcquired, cDefault, gokrb5}
	var one, many, get []labelled
	for _, who := range tokens {
		one = append(one, labelled{who, r.initiator(who, 1, 1, 0).figure(wall)})
		many = append(many, labelled{who, r.initiator(who, ticketCounts[len(ticketCounts)-1], 1, 0).figure(wall)})
	}
	for _, who := range httpClients[1:] {
		get = append(get, labelled{who, r.get(who, apache).figure(cpu)})
	}
	y := 0
	var panels []panel
	for _, p := range []struct {
		title string
		rows  []labelled
	}{
		{"One initiator token, one service ticket in the cache, µs", one},
		{"One initiator token, 500 service tickets in the cache, µs", many},
		{"One authenticated GET from Apache, CPU of the client, µs", get},
	} {
		panels = append(panels, layOut(p.title, p.rows, y))
		y += panelHead + len(p.rows)*rowHeight + panelFoot
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if errClose := f.Close(); err == nil {
			err = errClose
		}
	}()
	return chartTemplate.Execute(f, map[string]any{"Width": chartWidth, "Height": y, "Left": barLeft, "BarHeight": barHeight, "Panels": panels})
}

type labelled struct {
	who string
	Figure
}

func layOut(title string, rows []labelled, y int) panel {
	longest := 0.0
	for _, row := range rows {
		longest = max(longest, row.High)
	}
	scale := func(v float64) float64 { return float64(int(v / longest * (barRight - barLeft))) }
	p := panel{Title: title, Y: y + panelHead - 20}
	for i, row := range rows {
		top := y + panelHead + i*rowHeight
		class := "other"
		switch row.who {
		case negoDefault, negoContext, negoPreemptive, negoRemember, negoChallenge:
			class = "nego"
		case cFloor:
			class = "floor"
		}
		p.Bars = append(p.Bars, bar{
			Label: row.who, Value: number(row.Median), Class: class, Y: top, Middle: top + barHeight/2,
			Width: scale(row.Median), Low: barLeft + scale(row.Low), High: barLeft + scale(row.High),
			AfterBar: barLeft + scale(max(row.Median, row.High)) + 8,
		})
	}
	return p
}
