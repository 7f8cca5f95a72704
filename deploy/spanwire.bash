# bash completion for spanwire(1): commands, kinds, names, fields. What there is, it asks the controller.

_spanwire_column()
{
	spanwire "$@" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

_spanwire()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() word

	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $word == -* ]] || words+=("$word")
	done
	case "${#words[@]}:${words[0]-}" in
	*:*)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W "--all --ca --controller --help --insecure --json --tenant --user --version" -- "$cur"))
			return
		fi ;;&
	0:) COMPREPLY=($(compgen -W "show configure delete why" -- "$cur")) ;;
	1:why) COMPREPLY=($(compgen -W "$(_spanwire_column show virtualservice)" -- "$cur")) ;;
	1:*) COMPREPLY=($(compgen -W "$(_spanwire_column show)" -- "$cur")) ;;
	2:show | 2:configure | 2:delete)
		COMPREPLY=($(compgen -W "$(_spanwire_column show "${words[1]}")" -- "$cur")) ;;
	esac
}

complete -F _spanwire spanwire
