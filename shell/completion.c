#include "shell/completion.h"

#include <errno.h>

#include "base/base.h"

static const struct {
	const char *shell, *script;
} scripts[] = {
	{ "bash", "# bash completion for spanwire(1). What may follow, it asks the program, and that the controller.\n"
		  "\n"
		  "_spanwire()\n"
		  "{\n"
		  "\tlocal line=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} word\n"
		  "\n"
		  "\tCOMPREPLY=()\n"
		  "\twhile IFS= read -r word; do\n"
		  "\t\tcase $cur in\n"
		  "\t\t\\\"*) word=${word//\\\\/\\\\\\\\} word=${word//\\\"/\\\\\\\"} word=${word//\\$/\\\\\\$} word=${word//\\`/\\\\\\`} ;;\n"
		  "\t\t\\'*) word=${word//\\'/\\'\\\\\\'\\'} ;;\n"
		  "\t\t*) word=$(printf %q \"$word\") ;;\n"
		  "\t\tesac\n"
		  "\t\tCOMPREPLY+=(\"$word\")\n"
		  "\tdone < <(spanwire --candidates \"$line\" 2>/dev/null </dev/null)\n"
		  "\t# A colon parts words for bash, not for us.\n"
		  "\tif [[ $cur != *:* && $line == *:\"$cur\" ]]; then\n"
		  "\t\tword=${line##*[[:space:]]}\n"
		  "\t\tCOMPREPLY=(\"${COMPREPLY[@]#\"${word%\"$cur\"}\"}\")\n"
		  "\tfi\n"
		  "\t# What is in a folder follows it at once.\n"
		  "\t[[ ${#COMPREPLY[@]} -eq 1 && $COMPREPLY == */ ]] && compopt -o nospace 2>/dev/null\n"
		  "}\n"
		  "\n"
		  "complete -o default -F _spanwire spanwire\n" },
	{ "zsh", "#compdef spanwire\n"
		 "# zsh completion for spanwire(1). What may follow, it asks the program, and that the controller.\n"
		 "\n"
		 "_spanwire()\n"
		 "{\n"
		 "\t# As typed; LBUFFER lacks a quote that is not closed.\n"
		 "\tlocal line=\"${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX\"\n"
		 "\tlocal -a there\n"
		 "\tthere=(${(f)\"$(spanwire --candidates \"$line\" 2>/dev/null </dev/null)\"})\n"
		 "\t# In any case; what is in a folder follows it at once.\n"
		 "\tlocal fits='m:{a-zA-Z}={A-Za-z}' rc=1\n"
		 "\tcompadd -M $fits -- ${there:#*/} && rc=0\n"
		 "\tcompadd -M $fits -S '' -- ${(M)there:#*/} && rc=0\n"
		 "\t(( rc )) && _files && rc=0\n"
		 "\treturn rc\n"
		 "}\n"
		 "\n"
		 "# From a folder of fpath this file is the function; from source it defines it.\n"
		 "if [[ $funcstack[1] == _spanwire ]]; then\n"
		 "\t_spanwire \"$@\"\n"
		 "else\n"
		 "\tcompdef _spanwire spanwire\n"
		 "fi\n" },
};

int completion_script(FILE *out, const char *shell, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
		if (!strcmp(scripts[i].shell, shell)) {
			fputs(scripts[i].script, out);
			return 0;
		}
	return err_set(e, -EINVAL, NULL, "There is completion for bash and zsh, not for %s.", shell);
}
