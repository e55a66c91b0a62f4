;; A function with a name of 2 MiB, which traps.
;;@frame event
;;@core
(func $named (@name "{pad 2097152}") unreachable)
;;@handle
(call $named)
