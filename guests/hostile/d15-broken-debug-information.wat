;; Debug information of plain nonsense, and a trap for which it could be consulted.
;;@frame event
;;@core
(@custom ".debug_info" "\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff\ff")
(@custom ".debug_abbrev" "\ff\ff\ff\ff")
(@custom ".debug_line" "\ff\ff\ff\ff\ff\ff\ff\ff")
;;@handle
unreachable
