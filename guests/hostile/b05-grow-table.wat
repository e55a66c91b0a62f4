;; Asks for more table elements until it gets no more, and traps then.
;;@frame event
;;@core
(table $table 1 funcref)
;;@handle
(loop $more (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 100000)) (i32.const -1))))
unreachable
