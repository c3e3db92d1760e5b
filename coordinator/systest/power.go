package systest

// Together has a coordinator take an agent for that of its host, which it learns
// by being started again.
func (f *Fleet) Together(coordinator, agent string) {
	f.t.Helper()
	f.nodes[coordinator].companion = agent
	f.Stop(coordinator)
	f.Start(coordinator)
}

// Discharge starts an agent again, on its battery.
func (f *Fleet) Discharge(agent string) {
	f.t.Helper()
	f.nodes[agent].battery = true
	f.Stop(agent)
	f.Start(agent)
}
