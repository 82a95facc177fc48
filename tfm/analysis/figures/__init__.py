"""Figures, one module each. A `draw_…` function returns a matplotlib Figure; `style` has the colours, the sizes and
`save_figure`. No module here imports torch."""
